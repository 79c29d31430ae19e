/* npy */
#include "fcgi/npy.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char text[256] = "";
    struct fcgi_npy npy;
    uint64_t size;

    if (fcgi_npy_parse(bytes, n, &npy, text) != 0) {
        FUZZ_EXPECT(text[0] != 0 && memchr(text, 0, sizeof text) != NULL);
        return 0;
    }
    FUZZ_EXPECT(npy.ndim >= 0 && npy.ndim <= FCGI_NPY_MAX_DIMS);
    FUZZ_EXPECT(npy.data >= bytes && npy.data_bytes <= n - (size_t)(npy.data - bytes));
    size = npy.type == FCGI_NPY_F4 ? 4 : 1;
    for (int i = 0; i < npy.ndim; i++) {
        FUZZ_EXPECT(npy.shape[i] >= 0);
        size *= (uint64_t)npy.shape[i];
    }
    FUZZ_EXPECT(size == npy.data_bytes);
    return 0;
}
