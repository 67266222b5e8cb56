//! Private PKCS#11 tokens for tests.
