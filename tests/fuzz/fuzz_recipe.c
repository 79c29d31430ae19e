/* recipe: flags, "name value" a line; what passes the check survives the model file. */
#include "tests/fuzz/fuzz.h"
#include "weights/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct wt_recipe recipe = wt_recipe_default, again;
    struct wt_rnm_recipe disk;
    struct wt_err err;
    uint32_t n_lines = 0;

    while (n != 0) {
        char *line = fuzz_line(&bytes, &n), *value = strchr(line, ' ');

        if (value != NULL)
            *value++ = 0;
        wt_recipe_set(&recipe, line, value != NULL ? value : "", &err);
        free(line);
        n_lines++;
    }
    if (wt_recipe_check(&recipe, &err) != WT_OK)
        return 0;
    wt_recipe_pack(&disk, &recipe);
    FUZZ_EXPECT(wt_recipe_unpack(&again, &disk, &err) == WT_OK);
    FUZZ_EXPECT(memcmp(&recipe, &again, sizeof recipe) == 0);
    disk.exif = n_lines + 2;
    FUZZ_EXPECT(wt_recipe_unpack(&again, &disk, &err) == WT_ERECIPE);
    FUZZ_EXPECT(wt_recipe_interpolation(recipe.interpolation) != NULL);
    FUZZ_EXPECT(wt_recipe_activation(recipe.activation) != NULL);
    FUZZ_EXPECT(wt_recipe_exif(recipe.exif) != NULL);
    return 0;
}
