/* webp */
#include "tests/fuzz/fuzz_picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n >= 12 && memcmp(bytes + 8, "WEBP", 4) == 0)
        fuzz_picture(bytes, n);
    return 0;
}
