#!/bin/sh
# data_large.sh [SET...] - larger folders of images from Debian packages, in build/data-large (D=FOLDER chooses another):
#
#   clipart   6,900 drawings, mostly RGBA, twelve of them of 168 to 623 megapixels      openclipart-png          131 MB
#   photos    twelve photographs of 2 to 20 megapixels                                  lomiri-wallpapers-16.04,
#                                                                                       python3-sklearn           18 MB
#   sprites   14,000 figures, tiles and portraits                                       wesnoth-1.16-data        146 MB
#   games     3,700 images of two games                                               supertux-data, pingus-data 174 MB
#
# Without a SET: clipart and photos. Packages are downloaded by apt-get and unpacked, never installed, and nothing of them is
# passed on: their licenses (SET/copyright-*) hold for what you do with the images. A set that is there is left alone.
# DEBS=FOLDER takes *.deb files that are already there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/data/fetch.sh"
out=${D:-${here%/pipelines}/build/data-large}

# Of the photographs in these packages, those under CC0 or CC-BY (data/README.md names the authors).
photos='seeding_by_Clements_Engelhardt aitzgorri_by_Aitzol_Berasategi friends_by_Aitzol_Berasategi life_by_Aitzol_Berasategi
    picosdeeuropa_by_Aitzol_Berasategi sunset_by_Aitzol_Berasategi Image_0B_by_freespace Image_1A_by_freespace
    umang_by_Abhishek_Mudgal Wine_by_Jakkub_Mede'

packages_of() {
    case $1 in
    clipart) echo openclipart-png ;;
    photos) echo lomiri-wallpapers-16.04 python3-sklearn ;;
    sprites) echo wesnoth-1.16-data ;;
    games) echo supertux-data pingus-data ;;
    *)
        echo "data_large.sh: there is no set '$1' (clipart, photos, sprites, games)" >&2
        return 2
        ;;
    esac
}

# take FROM NAME: the images below FROM become FOLDER/NAME, with their folders and without links.
take() {
    [ -d "$1" ] || {
        echo "data_large.sh: the package has no '$1'" >&2
        return 1
    }
    find "$1" -type l -delete
    find "$1" -type f ! -iname '*.png' ! -iname '*.jpg' ! -iname '*.jpeg' -delete
    find "$1" -depth -type d -empty -delete
    mkdir -p "$set_dir"
    mv "$1" "$set_dir/$2"
}

fill() {
    case $1 in
    clipart)
        for folder in "$raw"/usr/share/openclipart/png/*/; do take "${folder%/}" "$(basename "$folder")"; done
        ;;
    photos)
        mkdir -p "$set_dir"
        for name in $photos; do mv "$raw/usr/share/backgrounds/$name.jpg" "$set_dir"; done
        mv "$raw"/usr/lib/python3/dist-packages/sklearn/datasets/images/*.jpg "$set_dir"
        ;;
    sprites) take "$raw/usr/share/games/wesnoth/1.16" wesnoth ;;
    games)
        take "$raw/usr/share/games/supertux2" supertux
        take "$raw/usr/share/games/pingus" pingus
        ;;
    esac
}

[ $# -gt 0 ] || set -- clipart photos
for which in "$@"; do packages_of "$which" >/dev/null; done
mkdir -p "$out"
trap 'rm -rf "$out/unpacked" "$out/making"' EXIT
trap 'exit 1' INT TERM
for which in "$@"; do
    if [ ! -d "$out/$which" ]; then
        raw=$out/unpacked set_dir=$out/making
        rm -rf "$raw" "$set_dir"
        # shellcheck disable=SC2046
        fetch_packages "$raw" $(packages_of "$which")
        fill "$which"
        for package in $(packages_of "$which"); do
            for file in "$raw/usr/share/doc/$package/copyright"*; do
                if [ -f "$file" ]; then cp "$file" "$set_dir/copyright-$package"; fi
            done
        done
        mv "$set_dir" "$out/$which" # whole or not at all
        rm -rf "$raw"
    fi
    echo "$out/$which: $(find "$out/$which" -type f ! -name 'copyright-*' | wc -l) images"
done
