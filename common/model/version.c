/* version.c - see version.h. */
#include "common/model/version.h"

#include "common/base/die.h"
#include "common/kernel/level.h"

#include <cblas.h>
#include <cjson/cJSON.h>
#include <jpeglib.h>
#include <lmdb.h>
#include <png.h>
#include <stdio.h>
#ifdef WITH_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif
#ifdef WITH_WEBP
#include <webp/decode.h>
#endif
#include <xxhash.h>

void version_print(void) {
    printf("%s %s\n", die_program(), PROJECT_VERSION);
    printf("kernels: %s, of", kern_level_name(kern_level()));
    for (size_t i = 0; i < kern_levels(); i++)
        if (kern_level_here(i)) printf(" %s", kern_level_name(i));
    printf("\n");
    printf("openblas: %s\n", openblas_get_config());
    printf("libpng %s, libjpeg %d, lmdb %s, cjson %s, xxhash %u\n", png_get_libpng_ver(NULL),
           JPEG_LIB_VERSION, mdb_version(NULL, NULL, NULL), cJSON_Version(), XXH_versionNumber());
#ifdef WITH_HDF5
    printf("hdf5: yes\n");
#else
    printf("hdf5: no\n");
#endif
#ifdef WITH_LIBARCHIVE
    printf("libarchive: yes\n");
#else
    printf("libarchive: no\n");
#endif
#ifdef WITH_WEBP
    int webp = WebPGetDecoderVersion();
    printf("libwebp: yes (%d.%d.%d)\n", webp >> 16, webp >> 8 & 0xFF, webp & 0xFF);
#else
    printf("libwebp: no\n");
#endif
#ifdef WITH_PCRE2
    char pcre2[64];
    pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
    printf("pcre2: yes (%s)\n", pcre2);
#else
    printf("pcre2: no\n");
#endif
#ifdef WITH_MUJOCO
    printf("mujoco: yes\n");
#else
    printf("mujoco: no\n");
#endif
}
