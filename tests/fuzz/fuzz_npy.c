/* npy: NumPy's arrays, read, written and read again. */
#include "fcgi/npy.h"
#include "tests/fuzz/fuzz.h"

/* Written row by row and read again, as far as that is little. */
static void write_back(const struct fcgi_npy *npy)
{
    enum { MAX_ROWS = 64 };
    size_t rows = npy->ndim > 0 ? (size_t)npy->shape[0] : 0, n = 0;
    struct fcgi_npy_writer writer;
    uint8_t bytes[8192];
    struct fcgi_npy again;
    char path[32], text[256];

    FUZZ_EXPECT(fcgi_npy_create(&writer, "", npy->type, FCGI_NPY_MAX_DIMS, npy->shape) != 0);
    if (rows == 0 || rows > MAX_ROWS || npy->data_bytes > 4096)
        return;
    int fd = fuzz_file(NULL, 0, path);
    FUZZ_EXPECT(fcgi_npy_create(&writer, path, npy->type, npy->ndim - 1, npy->shape + 1) == 0);
    for (size_t i = 0; i < rows && writer.row_bytes != 0; i++)
        FUZZ_EXPECT(fcgi_npy_append(&writer, npy->data + i * writer.row_bytes) == 0);
    int empty = writer.row_bytes == 0;
    FUZZ_EXPECT(fcgi_npy_close(&writer) == 0);
    n = (size_t)pread(fd, bytes, sizeof bytes, 0);
    close(fd);
    FUZZ_EXPECT(fcgi_npy_parse(bytes, n, &again, text) == 0);
    FUZZ_EXPECT(again.type == npy->type && again.ndim == npy->ndim);
    FUZZ_EXPECT(empty || (again.data_bytes == npy->data_bytes &&
                          memcmp(again.data, npy->data, npy->data_bytes) == 0));
}

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
    write_back(&npy);
    return 0;
}
