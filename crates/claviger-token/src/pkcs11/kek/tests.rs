use super::*;

#[test]
fn a_point_is_read_with_and_without_its_octet_string() {
    let mut bare = vec![4];
    bare.extend([7; 32]);
    bare.extend([9; 32]);
    let wrapped: Vec<u8> = [&[4, 65][..], &bare].concat();
    let point = EcPoint { x: [7; 32], y: [9; 32] };
    assert_eq!(point_of(&bare), Some(point));
    assert_eq!(point_of(&wrapped), Some(point));
    for bad in [&[][..], &bare[1..], &bare[..64], &wrapped[..66], &[2; 33]] {
        assert_eq!(point_of(bad), None);
    }
}
