/* jpeg: the picture as it is, and again at a size where RESNET_DECODE=fast has its own decoder. */
#include "tests/fuzz/fuzz_picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct fuzz_decode fast = {
        .bytes = bytes,
        .n = n,
        .limits = {.max_pixels = 1 << 18, .max_decode_bytes = 4 << 20, .fast = 1},
        .recipe = {.resize = 4, .crop = 4},
    };

    if (n < 3 || memcmp(bytes, "\xff\xd8\xff", 3) != 0)
        return 0;
    fuzz_picture(bytes, n);
    fuzz_crop(&fast);
    return 0;
}
