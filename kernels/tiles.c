/* tiles.c: outputs cut into tiles of as equal a size as can be. */
#include "kernels/tiles.h"

enum { LEAST_PIXELS = 6 }; /* of the largest tile of any instruction set */

enum cut {
    EVEN,  /* as one row, into equal parts */
    PAIRS, /* two whole rows a tile */
    ROWS   /* each row by itself, into equal parts */
};

static enum cut choose_cut(const struct kn_tiles *how)
{
    int unbroken = how->x_row == how->ow * how->x_pixel && how->y_row == how->ow * how->y_pixel;

    if (unbroken || how->oh == 1 || (how->split == 0 && how->ow >= how->pixels - 1))
        return EVEN;
    return how->split == how->ow && 2 * how->ow <= how->pixels ? PAIRS : ROWS;
}

/* A stretch of `n` pixels that begins at a row's first one, in `tiles` parts. Returns the end of
 * the list. */
static struct kn_spot *list_stretch(const struct kn_tiles *how, struct kn_spot *s, int row, int n,
                                    int tiles)
{
    int width = how->ow, column = 0;

    for (int t = 0; t < tiles; t++, s++) {
        s->pixels = n / tiles + (t < n % tiles);
        s->split = width - column;
        s->a = row * how->x_row + column * how->x_pixel;
        s->y = row * how->y_row + column * how->y_pixel;
        s->a_gap = s->split < s->pixels ? how->x_row - width * how->x_pixel : 0;
        s->y_gap = s->split < s->pixels ? how->y_row - width * how->y_pixel : 0;
        for (column += s->pixels; column >= width; column -= width)
            row++;
    }
    return s;
}

int kn_tiles_list(const struct kn_tiles *how, struct kn_spot *spots)
{
    int most = how->pixels, all = how->oh * how->ow, in_a_row = (how->ow + most - 1) / most;
    struct kn_spot *end = spots;

    switch (choose_cut(how)) {
    case EVEN:
        end = list_stretch(how, end, 0, all, (all + most - 1) / most);
        break;
    case PAIRS:
        for (int row = 0; row < how->oh; row += 2)
            end = list_stretch(how, end, row, (row + 1 < how->oh ? 2 : 1) * how->ow, 1);
        break;
    case ROWS:
        for (int row = 0; row < how->oh; row++)
            end = list_stretch(how, end, row, how->ow, in_a_row);
        break;
    }
    return (int)(end - spots);
}

size_t kn_tiles_most(int oh, int ow)
{
    return (size_t)oh * ((size_t)ow / LEAST_PIXELS + 1);
}
