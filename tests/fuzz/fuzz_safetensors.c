/* safetensors: read, every element converted, folded if it is a network. */
#include "tests/fuzz/fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    fuzz_source(bytes, n);
    return 0;
}
