"""read_report.py PAGE [TEXT...] - reads a page of `vqvae report` with the standard library: every tag closed, nothing
fetched from elsewhere, no script, images that are whole PNGs, every TEXT somewhere as text. Prints a JSON summary;
what is wrong goes to stderr with status 1."""
import base64
import html.parser
import json
import struct
import sys
import zlib

VOID = {'img', 'meta'}
DRAWN = {'line', 'circle', 'polyline', 'polygon'}  # the only ones that may end in />


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.text, self.images, self.charts, self.bars, self.tags = [], [], [], 0, 0, set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), '%s with an attribute twice' % tag
        for name, value in attributes:
            assert not name.startswith('on') and name not in ('href', 'action'), 'attribute %s' % name
            if name == 'src':
                assert tag == 'img' and value.startswith('data:image/png;base64,'), 'src of %s' % tag
                self.images.append(png_size(base64.b64decode(value[22:], validate=True)))
        self.charts += tag == 'svg'
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in DRAWN, '<%s/>' % tag
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, '</%s> closes %s' % (tag, self.open[-1:])
        self.open.pop()

    def handle_data(self, data):
        self.text.append(data)


def png_size(png):
    assert png[:8] == b'\x89PNG\r\n\x1a\n'
    at, kinds, packed = 8, [], b''
    while at < len(png):
        size, kind = struct.unpack_from('>I4s', png, at)
        assert zlib.crc32(png[at + 4:at + 8 + size]) == struct.unpack_from('>I', png, at + 8 + size)[0], 'CRC of a PNG'
        kinds.append(kind)
        if kind == b'IDAT':
            packed += png[at + 8:at + 8 + size]
        at += 12 + size
    assert kinds[0] == b'IHDR' and kinds[-1] == b'IEND' and b'tIME' not in kinds, kinds
    width, height = struct.unpack_from('>II', png, 16)
    assert len(zlib.decompress(packed)) == height * (1 + 3 * width)
    return [width, height]


def main(path, wanted):
    text = open(path, encoding='utf-8').read()
    page = Page()
    page.feed(text)
    page.close()
    assert not page.open, 'open at the end: %s' % page.open
    assert 'script' not in page.tags and 'link' not in page.tags and '://' not in text and '@import' not in text
    for word in wanted:
        assert any(word in t for t in page.text), 'no text %r' % word
    print(json.dumps({'images': len(page.images), 'sizes': sorted(set(map(tuple, page.images))), 'charts': page.charts}))


try:
    main(sys.argv[1], sys.argv[2:])
except (AssertionError, ValueError, struct.error, zlib.error) as wrong:
    print('%s: %s' % (sys.argv[1], wrong), file=sys.stderr)
    sys.exit(1)
