/* exif */
#include "fcgi/codec.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    int orientation = fcgi_exif_orientation(bytes, n);

    FUZZ_EXPECT(orientation >= 1 && orientation <= 8);
    return 0;
}
