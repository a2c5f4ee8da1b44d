/* image_notes.c - what was odd in files that were decoded all the same: counted, told in a line. */
#include "common/base/log.h"
#include "common/io/image/image_codec.h"

#include <stdio.h>
#include <string.h>

static const char *const names[NOTE_KINDS] = {
    [NOTE_JPEG_SCAN] = "JPEG with invalid SOS parameters",
    [NOTE_JPEG_JFIF] = "JPEG of an unknown JFIF revision",
    [NOTE_JPEG_ADOBE] = "JPEG with an unknown Adobe color transform",
    [NOTE_JPEG_BETWEEN] = "JPEG with extraneous bytes before a marker",
    [NOTE_JPEG_BEHIND] = "JPEG with bytes behind its end",
    [NOTE_JPEG_END] = "JPEG without an end marker",
    [NOTE_PNG_BEHIND] = "PNG with bytes behind its end",
    [NOTE_PNG_EXTRA] = "PNG with image data behind the last row",
    [NOTE_WEBP_BEHIND] = "WebP with bytes behind its end",
    [NOTE_JPEG_DAMAGE] = "JPEG with damaged or missing data",
    [NOTE_PNG_CRC] = "PNG with a wrong checksum in an ancillary chunk",
    [NOTE_PNG_END] = "PNG without an end",
};

void image_notes_add(image_notes_t *n, unsigned set) {
    if (!set) return;
    unsigned damage = set >> NOTE_DAMAGE;
    if (damage)
        atomic_fetch_add(&n->damaged, 1);
    else
        atomic_fetch_add(&n->harmless, 1);
    for (unsigned k = 0; k < NOTE_KINDS; k++)
        if (set >> k & 1) atomic_fetch_add(&n->kind[k], 1);
}

unsigned image_notes_set(const image_notes_t *n) {
    unsigned set = 0;
    for (unsigned k = 0; k < NOTE_KINDS; k++)
        if (atomic_load(&n->kind[k])) set |= 1u << k;
    return set;
}

void image_note(const image_opts_t *o, unsigned noticed) {
    if (o->notes) image_notes_add(o->notes, noticed);
}

static void tell(const image_notes_t *n, size_t images, const char *what, int from, int to) {
    char list[600];
    size_t at = 0;
    if (!images) return;
    for (int k = from; k < to; k++) {
        size_t count = atomic_load(&n->kind[k]);
        if (!count || at >= sizeof list) continue;
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%zu %s", at ? ", " : "", count,
                               names[k]);
    }
    log_line("%zu image%s %s: %s", images, images > 1 ? "s" : "", what, list);
}

void image_notes_summary(const image_notes_t *n) {
    size_t damaged = atomic_load(&n->damaged);
    /* A damaged file may have harmless oddities too: they are listed with the line they belong to
     * only when that line is told. */
    tell(n, atomic_load(&n->harmless), "with harmless warnings", 0, NOTE_DAMAGE);
    tell(n, damaged, "with damage that --lenient takes", NOTE_DAMAGE, NOTE_KINDS);
}
