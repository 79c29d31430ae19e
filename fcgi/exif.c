/* exif.c: the orientation in an EXIF block, and nothing else of it. As Pillow reads it: a
 * directory cut short counts as far as it goes, and of two orientations the last one wins. */
#include <string.h>

#include "fcgi/codec.h"

enum { TAG_ORIENTATION = 0x0112, ENTRY_BYTES = 12 };
enum { TYPE_SHORT = 3, TYPE_LONG = 4, TYPE_SSHORT = 8, TYPE_SLONG = 9 };

static uint32_t get16(const uint8_t *p, int big)
{
    return big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t get32(const uint8_t *p, int big)
{
    return big ? get16(p, 1) << 16 | get16(p + 2, 1) : get16(p + 2, 0) << 16 | get16(p, 0);
}

/* One directory entry: tag, type, count, value. Returns its orientation, or `before`. */
static uint32_t entry_orientation(const uint8_t *entry, int big, uint32_t before)
{
    uint32_t type = get16(entry + 2, big);

    if (get16(entry, big) != TAG_ORIENTATION)
        return before;
    if (type != TYPE_SHORT && type != TYPE_SSHORT && type != TYPE_LONG && type != TYPE_SLONG)
        return before;
    if (get32(entry + 4, big) != 1)
        return get32(entry + 4, big) == 0 ? before : 0;
    return type == TYPE_SHORT || type == TYPE_SSHORT ? get16(entry + 8, big)
                                                     : get32(entry + 8, big);
}

int fcgi_exif_orientation(const uint8_t *tiff, size_t n)
{
    uint32_t orientation = 1, entries;
    size_t at;
    int big;

    if (n >= 6 && memcmp(tiff, "Exif\0", 6) == 0) {
        tiff += 6;
        n -= 6;
    }
    if (n < 8 || (memcmp(tiff, "II", 2) != 0 && memcmp(tiff, "MM", 2) != 0))
        return 1;
    big = tiff[0] == 'M';
    if (get16(tiff + 2, big) != 42 && get16(tiff + 2, !big) != 42)
        return 1;
    at = get32(tiff + 4, big);
    if (at > n - 2)
        return 1;
    entries = get16(tiff + at, big);
    at += 2;
    for (; entries > 0 && n - at >= ENTRY_BYTES; entries--, at += ENTRY_BYTES)
        orientation = entry_orientation(tiff + at, big, orientation);
    return orientation >= 1 && orientation <= 8 ? (int)orientation : 1;
}
