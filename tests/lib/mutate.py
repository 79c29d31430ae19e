"""mutate.py: HTTP requests that are wrong: one of mutate_valid.py's with one to three mutations of its
pictures, body, head, framing or manners. A seed and a number make the same bytes each time.

    draft = request(seed, number)

    python3 tests/lib/mutate.py SEED NUMBER            prints the bytes of that request
    python3 tests/lib/mutate.py SEED NUMBER --say      and says what they are
"""

import random
import re
import struct
import sys
import zlib

import mutate_valid
import png

EDGES = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 1000, 1001, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1,
         2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64)  # fmt: skip
TEXTS = [b"%d" % edge for edge in EDGES] + [
    b"-1", b"-0", b"+1", b"1.5", b"1e9", b"1e400", b"0x10", b"007", b"", b" ", b"NaN", b"9" * 40, b"null", b"true", b"%00",
    b"1 ", b"1,1", b"\xef\xbc\x91",
]  # fmt: skip
UNICODE = [
    "\u00e4", "\u0410", "\u202e", "\ufeff", "\U0001f408", "\u0000", "\u2028", "e\u0301" * 20, "\uffff", "\u212a"
]  # fmt: skip
UNICODE = [t.encode() for t in UNICODE] + [
    b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xff\xfe", b"\xe2\x82", b"\\ud83d", b"\\u0000", b"\\udc00\\ud800",
]  # fmt: skip
TOKENS = [
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"null", b'{"b64":', b'"image":', b'"inputs":[', b"[" * 80, b'{"a":' * 80,
    b"\r\n", b"\r\n\r\n", b"\n", b"\0", b"--", b"------resnet-test-boundary", b"------resnet-test-boundary--\r\n", b"=", b"====",
    b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc4", b"\xff\xc2", b"\xff\xdd\0\4\0\1", b"IDAT", b"IEND", b"PLTE", b"iCCP",
    b"VP8X", b"VP8L", b"ANMF", b"EXIF", b"data:image/jpeg;base64,", b"Content-Disposition: form-data; name=", b"filename=",
    b"<script>", b"%s%n", b"../../etc/passwd", b"'; --", b"A" * 5000,
]  # fmt: skip
FIELDS = re.compile(  # what is followed or led by a length
    rb"(?P<png>IHDR|IDAT|PLTE|tRNS|IEND|eXIf|tEXt)|(?P<riff>RIFF|VP8[ LX]|ALPH|ANMF|EXIF)|(?P<jpeg>\xff[\xc0-\xfe])"
    rb"|(?P<digits>[0-9]{1,9}(?=[,\]}\r\n]))", re.DOTALL)  # fmt: skip


def place(rng, data, n=1):
    """Somewhere in data, more often near an end, with room for n bytes."""
    room = max(0, len(data) - n)
    return min(room, rng.choice((rng.randint(0, room), rng.randint(0, 40), max(0, room - rng.randint(0, 40)))))


# ---- bytes: of a picture, a body, a head ---------------------------------------------------------


def flip(rng, data):
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8)) if out else 0):
        out[place(rng, out)] ^= 1 << rng.randrange(8)
    return bytes(out)


def cut(rng, data):
    return data[: place(rng, data)]


def cut_front(rng, data):
    return data[place(rng, data) :]


def insert(rng, data):
    at, n = place(rng, data), rng.choice((1, 2, 8, 64, 700))
    return data[:at] + rng.randbytes(n) + data[at:]


def delete(rng, data):
    at, n = place(rng, data), rng.choice((1, 2, 8, 64, 700))
    return data[:at] + data[at + n :]


def double(rng, data):
    at, n = place(rng, data), rng.choice((1, 8, 64, 700, len(data)))
    return data[: at + n] + data[at : at + n] * rng.choice((1, 1, 2, 20 if n < 700 else 1)) + data[at + n :]


def swap(rng, data):
    n = rng.choice((1, 4, 64))
    one, other = sorted((place(rng, data, n), place(rng, data, n)))
    if other < one + n:
        return data
    return data[:one] + data[other : other + n] + data[one + n : other] + data[one : one + n] + data[other + n :]


def edge(rng, data):
    """A number of some width and byte order, at an edge of it."""
    n, order = rng.choice((1, 2, 4, 8)), rng.choice(("big", "little"))
    at, top = place(rng, data, n), 1 << 8 * n
    near = int.from_bytes(data[at : at + n], order) + rng.choice((-1, 1))
    value = rng.choice((0, 1, top // 2 - 1, top // 2, top - 1, near)) % top
    return data[:at] + value.to_bytes(n, order) + data[at + n :]


def lengths(rng, data):
    """Two lengths that change places, or one that is an edge."""
    fields = []
    for match in FIELDS.finditer(data):
        at, n = match.span(match.lastgroup)
        if match["png"] or match["riff"]:
            fields.append((at - 4, at) if match["png"] else (n, n + 4))
        else:
            fields.append((n, n + 2) if match["jpeg"] else (at, n))
    fields = [(at, end) for at, end in fields if 0 <= at < end <= len(data)]
    if not fields:
        return edge(rng, data)
    (at, end), (other, other_end) = rng.choice(fields), rng.choice(fields)
    value = data[other:other_end]
    if rng.random() < 0.5 or value == data[at:end]:
        is_text = data[at:end].isdigit()
        value = rng.choice(TEXTS) if is_text else rng.choice((bytes(end - at), b"\xff" * (end - at), rng.randbytes(end - at)))
    return data[:at] + value + data[end:]


def token(rng, data):
    at = place(rng, data)
    return data[:at] + rng.choice(TOKENS) + data[at + rng.choice((0, 0, 1, 8)) :]


def unicode(rng, data):
    at = place(rng, data)
    return data[:at] + rng.choice(UNICODE) + data[at + rng.choice((0, 1)) :]


def splice(rng, data):
    """The beginning of one, the end of another."""
    other = mutate_valid.picture(rng)
    return data[: place(rng, data)] + other[place(rng, other) :]


BYTES = (flip, cut, cut_front, insert, delete, double, swap, edge, lengths, token, unicode, splice)


def mended(data):
    """A PNG whose chunks have the checksums that belong to them: the damage gets past the first look."""
    if not data.startswith(png.SIGNATURE):
        return data
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        end = at + 8 + struct.unpack_from(">I", out, at)[0]
        if end + 4 > len(out):
            break
        struct.pack_into(">I", out, end, zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)


def damaged(rng, how):
    """A picture with damage."""
    mutation = rng.choice(BYTES)
    how.append("picture: " + mutation.__name__)
    data = mutation(rng, mutate_valid.picture(rng))
    return mended(data) if rng.random() < 0.7 else data


def of_body(mutation):
    def mutate(rng, draft):
        draft.body = mutation(rng, draft.body or b"")

    return mutate


def oversize(rng, draft):
    draft.body = (draft.body or b"") + rng.randbytes(1000) * 1100


# ---- the head ------------------------------------------------------------------------------------

QUERIES = [b"top_k", b"precision", b"topk", b"TOP_K", b"a", b""]
ADDED = {
    b"X-Request-Timeout-Ms": TEXTS, b"Content-Encoding": [b"gzip", b"identity", b"br, gzip", b""],
    b"Inference-Header-Content-Length": TEXTS, b"Range": [b"bytes=0-0", b"bytes=-1", b"bytes=0-,0-,0-"],
    b"Content-Type": [b"multipart/form-data", b"multipart/form-data; boundary=", b"multipart/form-data; boundary=\"",
                      b"application/json; charset=utf-16", b"text/html", b"\xff\xfe", b"multipart/form-data; boundary=" + b"b" * 80],
    b"If-None-Match": [b"*", b'"x"'], b"If-Modified-Since": [b"Sat, 21 Nov 2099 00:00:00 GMT", b"never"],
    b"If-Match": [b'"x"'], b"Accept-Encoding": [b"gzip, br"], b"Accept": [b"text/html", b"application/octet-stream"],
    b"Upgrade": [b"websocket", b"h2c"], b"Connection": [b"keep-alive", b"upgrade", b"close, TE", b"\x01"], b"TE": [b"trailers"],
    b"Host": [b"", b"a b", b"[::1", b"x" * 300, b"evil\"host"], b"Cookie": [b"c=" + b"c" * 3000], b"Origin": [b"null", b"https://x.example"],
    b"X-Request-ID": [b"short", b"i" * 129, b"a\"b" * 8, b"good-id-0001", b"\xc3\xa4" * 9], b"X-Forwarded-For": [b"127.0.0.1, " * 50],
    b"traceparent": [b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", b"x"],
    b"Access-Control-Request-Method": [b"POST"], b"Proxy": [b"http://127.0.0.1:1/"], b"Transfer-Encoding ": [b"chunked"],
    b"Content_Length": [b"3"], b"": [b"x", b""], b"X Y": [b"z"], b"MSEC": [b"0"], b"X\x00Y": [b"z"], b"REQUEST-ID": [b"0" * 32],
}  # fmt: skip


def query(rng, draft):
    pairs = [rng.choice(QUERIES) + b"=" + rng.choice(TEXTS + UNICODE) for _ in range(rng.choice((1, 1, 2, 200)))]
    text = b"&".join(pairs).replace(b" ", b"+").replace(b"\0", b"%00").replace(b"\r", b"").replace(b"\n", b"")
    draft.target = draft.target.split(b"?")[0] + b"?" + text


def path(rng, draft):
    target, at = draft.target, rng.randrange(len(draft.target))
    draft.target = rng.choice((
        target[:at] + b"%%%02x" % target[at] + target[at + 1 :], b"/" + target, target + b"/", target[:at] + b"/../" + target[at:],
        target[:at] + rng.choice(UNICODE[:8]) + target[at:], b"/" + b"a" * rng.choice((200, 5000, 9000)), target[:at] + b"%zz",
        target.upper(), b"http://other.example" + target, target[:at] + b"%00" + target[at:], target + b"#x", target[:at] or b"/",
        target[1:] or b"*", target.replace(b"resnet50", b"resnet51"), b"/page/" + b"../" * 30 + b"etc/passwd", b"/page/%2e%2e/x",
        b"/.resnet/error", b"*", target + b";x=y",
    )).replace(b"\0", b"%00")  # fmt: skip


def method(rng, draft):
    draft.method = rng.choice((b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT", b"post", b"BREW",
                               b"P" * 300, b"", b"PROPFIND"))  # fmt: skip
    draft.owed &= draft.method not in (b"", b"CONNECT")


def version(rng, draft):
    draft.version = rng.choice((b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/1.10", b"http/1.1", b"HTP/1.1",
                                b"HTTP/1.1 x", b"HTTP/", b"", b"HTTP/1.1" * 100))  # fmt: skip
    draft.owed &= draft.version == b"HTTP/1.0"


def add_header(rng, draft):
    for _ in range(rng.choice((1, 1, 1, 3))):
        name = rng.choice(list(ADDED))
        draft.headers.insert(rng.randint(0, len(draft.headers)), [name, rng.choice(ADDED[name])])


def drop_header(rng, draft):
    draft.headers.pop(rng.randrange(len(draft.headers)))


def double_header(rng, draft):
    draft.headers.append(list(rng.choice(draft.headers)))


def change_header(rng, draft):
    header = rng.choice(draft.headers)
    which = rng.randrange(2)
    header[which] = rng.choice(BYTES)(rng, header[which]).replace(b"\n", b" ")


def large_header(rng, draft):
    number, size = rng.choice(((1, 9000), (40, 1000), (1, 8000), (150, 20), (12, 2000)))
    draft.headers += [[b"X-Large-%d" % i, b"x" * size] for i in range(number)]


def line_ends(rng, draft):
    draft.line_end = rng.choice((b"\n", b"\r\r\n", b"\r\n ", b" \r\n"))
    draft.owed &= draft.line_end == b"\n"


def damage_head(rng, draft):
    mutation = rng.choice(BYTES)

    def damage(data):
        top, separator, rest = data.partition(b"\r\n\r\n")
        return mutation(rng, top) + separator + rest

    draft.damage.append(damage)
    draft.owed = False


# ---- how the body is framed ----------------------------------------------------------------------


def wrong_length(rng, draft):
    body = draft.body or b""
    text = rng.choice([b"%d" % max(0, len(body) + d) for d in (-1, 1, -9, 9, 100000)] + TEXTS)
    draft.framing = [b"Content-Length: " + text], body
    draft.owed = False


def two_lengths(rng, draft):
    body = draft.body or b""
    draft.framing = [b"Content-Length: %d" % len(body), b"Content-Length: %d" % (len(body) + rng.choice((0, 1)))], body
    draft.owed = False


def no_length(_, draft):
    draft.framing, draft.owed = ([], draft.body or b""), False


def chunks_of(rng, body):
    out, at = [], 0
    while at < len(body):
        n = rng.choice((1, 7, 512, 65536))
        out.append([b"%x" % len(body[at : at + n]), b"\r\n", body[at : at + n], b"\r\n"])
        at += n
        if len(out) > 60:
            n = len(body)
    return out + [[b"0", b"\r\n", b"", b"\r\n"]]


def chunked(rng, draft):
    """As it should be."""
    chunks = chunks_of(rng, (draft.body or b"")[:40000])
    draft.framing = [b"Transfer-Encoding: chunked"], b"".join(b"".join(chunk) for chunk in chunks)


def chunked_wrong(rng, draft):
    chunks = chunks_of(rng, (draft.body or b"")[:40000])
    chunk = rng.choice(chunks)
    kind = rng.randrange(6)
    if kind == 0:
        chunk[0] = rng.choice((b"-1", b"ffffffffffffffff", b"10000000000000000", b"g", b"", b"0x5", b"7fffffff", b"5;x=" + b"y" * 9000))
    elif kind == 1:
        chunk[rng.choice((1, 3))] = rng.choice((b"", b"\n", b"\r", b"\r\n\r\n"))
    elif kind == 2:
        chunks.pop()
    elif kind == 3:
        chunks[-1][2] = b"X-Trailer: " + b"t" * rng.choice((1, 9000)) + b"\r\n"
    elif kind == 4:
        chunk[2] = insert(rng, chunk[2])
    lines = [rng.choice((b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, chunked"))]
    lines += [b"Content-Length: 5"] if kind == 5 else []
    draft.framing, draft.owed = (lines, b"".join(b"".join(c) for c in chunks)), False


# ---- manners -------------------------------------------------------------------------------------


def expect(rng, draft):
    draft.headers.append([b"Expect", rng.choice((b"100-continue", b"100-Continue", b"200-ok", b""))])


def closed_early(rng, draft):
    """Behind some byte nothing comes any more: said so, or left, or gone without a word."""
    draft.damage.append(lambda data: cut(rng, data))
    draft.owed, draft.ending = False, rng.choice(("half", "leave", "reset"))


def gone(rng, draft):
    """Whole, but nobody waits for the answer."""
    draft.owed, draft.ending = False, rng.choice(("half", "leave", "reset"))


def rubbish_behind(rng, draft):
    draft.behind = rng.choice((rng.randbytes(rng.choice((1, 50, 9000))), b"\r\n" * 20, b"GET /\r\n\r\n", b"\0" * 30))
    keep_open(draft)


def pipelined(rng, draft):
    other = mutate_valid.choose(rng)(rng, lambda: mutate_valid.picture(rng))
    draft.behind = other.bytes()
    keep_open(draft)


def keep_open(draft):
    draft.headers = [[name, b"keep-alive" if name == b"Connection" else value] for name, value in draft.headers]


def dribbled(rng, draft):
    draft.pieces = rng.choice((2, 3, 10))


HEAD = (query, path, method, version, add_header, add_header, drop_header, double_header, change_header, large_header,
        line_ends, damage_head)  # fmt: skip
FRAMING = (wrong_length, two_lengths, no_length, chunked, chunked_wrong, expect, closed_early, gone, rubbish_behind,
           pipelined, dribbled)  # fmt: skip


def mutate_body(rng, draft):
    mutation = rng.choice(BYTES)
    draft.how.append("body: " + mutation.__name__)
    of_body(mutation)(rng, draft)


def mutate_with(mutations, what):
    def mutate(rng, draft):
        mutation = rng.choice(mutations)
        draft.how.append(f"{what}: {mutation.__name__}")
        mutation(rng, draft)

    return mutate


def request(seed, number):
    """One in twenty is as it should be."""
    rng = random.Random(f"{seed}-{number}")
    how, kind = [], rng.random()
    make = mutate_valid.choose(rng)
    whole = lambda: mutate_valid.picture(rng)  # noqa: E731
    draft = make(rng, whole if kind > 0.35 else lambda: damaged(rng, how))
    draft.how = how
    draft.headers.append([b"X-Request-ID", b"mutated-%d-%d" % (seed, number)])
    if kind > 0.4 or (kind < 0.35 and not how):
        ways = (mutate_body, mutate_with(HEAD, "head"), mutate_with(FRAMING, "framing"))
        if draft.body is None:
            ways = ways[1:]
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            rng.choice(ways)(rng, draft)
        if rng.random() < 0.004:
            draft.how.append("body: oversize")
            oversize(rng, draft)
    draft.sent = draft.bytes()
    return draft


def main(seed, number, *more):
    draft = request(int(seed), int(number))
    sys.stdout.buffer.write(draft.sent)
    if more:
        print(f"\n{draft.dialect}: {', '.join(draft.how)}; sent in {draft.pieces}, then: {draft.ending}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
