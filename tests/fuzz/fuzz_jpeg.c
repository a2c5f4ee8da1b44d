/* fuzz_jpeg.c - any bytes as a JPEG, strictly and leniently: no crash, no leak, and either a whole
 * image or a reason.
 */
#include "common/io/image/image_codec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void decode(const uint8_t *bytes, size_t size, bool lenient) {
    image_opts_t o = {.max_pixels = 1 << 18, .background = {255, 255, 255}, .lenient = lenient};
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
    if (image_sniff(bytes, size, &name) != FORMAT_JPEG) return 0;
    decode(bytes, size, false);
    decode(bytes, size, true);
    return 0;
}
