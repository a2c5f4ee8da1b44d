/* fuzz_webp.c - any bytes as a WebP: no crash, no leak, and either a whole image or a reason.
 * Decodes them again with the corrected size in the header; otherwise no mutation that changes the
 * length gets past it.
 */
#include "common/io/image/image_codec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void decode(const uint8_t *bytes, size_t size) {
    image_notes_t notes = {0};
    image_opts_t o = {.max_pixels = 1 << 16, .background = {255, 255, 255}, .notes = &notes};
    image_t im;
    reason_t why = {""};
    image_status_t status = image_decode(&im, bytes, size, &o, &why);
    if ((status == IMAGE_OK) != (im.rgb != NULL) || (status != IMAGE_OK && !why.text[0])) abort();
    if (status == IMAGE_OK && (!im.w || !im.h || im.w > o.max_pixels / im.h)) abort();
    uint8_t all = 0;
    for (size_t i = 0; i < 3 * im.w * im.h; i++) all ^= im.rgb[i];
    __asm__ volatile("" ::"r"(all)); /* every byte was written and is ours */
    image_release(&im);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    const char *name;
    if (image_sniff(bytes, size, &name) != FORMAT_WEBP) return 0;
    decode(bytes, size);
    uint8_t *copy = malloc(size);
    if (!copy) abort();
    memcpy(copy, bytes, size);
    for (int i = 0; i < 4; i++) copy[4 + i] = (uint8_t)((size - 8) >> 8 * i);
    decode(copy, size);
    free(copy);
    return 0;
}
