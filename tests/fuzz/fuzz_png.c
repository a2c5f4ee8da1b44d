/* fuzz_png.c - any bytes as a PNG: no crash, no leak, and either a whole image or a reason. Decodes
 * them as they are, and again with corrected checksums of the chunks; otherwise no mutation gets
 * past the first one.
 */
#include "common/io/image/image_codec.h"
#include "tests/image_bytes.h"

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
    if (image_sniff(bytes, size, &name) != FORMAT_PNG) return 0;
    decode(bytes, size, false);
    decode(bytes, size, true);
    blob_t b = blob_copy(bytes, size);
    for (size_t at = 8; at + 12 <= b.n && get32(b.p + at) <= b.n - at - 12;
         at += 12 + get32(b.p + at))
        png_fix(&b, at);
    decode(b.p, b.n, false);
    decode(b.p, b.n, true);
    free(b.p);
    return 0;
}
