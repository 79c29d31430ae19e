"""json_cases.py: texts that are JSON, texts that are not, and texts about which RFC 8259 leaves the
choice; made here, in the manner of the well-known parser test suites."""

# Values: each may stand wherever a value may.
GOOD = [
    b"0", b"-0", b"1.5e3", b"1E+2", b"1e-2", b"-1.25E-10", b"123456789012345678901234567890", b"0e0",
    b"true", b"false", b"null", b'""', b'"a"', b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', b'"\\u0041\\uABCD\\uabcd"',
    b'"\\u0000"', b'"\\uD83D\\uDE00"', '"é ✓ 😀 \u2028"'.encode(), b'"\x7f"', b'"[{]},:"', b"[]", b"{}",
    b" [ ] ", b"\t{\r\n}", b"[[],[[]],{}]", b"[1,[2,[3]],4]", b'{"":0}', b'{"a":{"b":[null]}}', b'{"\\u0061":1,"b":2}',
    b"[1 , 2\n,\t3 ]", b'{ "a" : [ 1 , { "b" : 2 } ] }', b"[" * 50 + b"]" * 50, b"[" + b"0," * 2000 + b"0]",
    b'"' + b"x" * 100_000 + b'"',
]  # fmt: skip

# Values that are none.
BAD = [
    # numbers
    b"01", b"-01", b"+1", b"1.", b".5", b"-", b"1e", b"1e+", b"1.e5", b"0x10", b"1_000", b"NaN", b"Infinity",
    b"-Infinity", b"1 2", b"--1", b"1.2.3", b"0e", b"-.5", b"1eE2", b"\xd9\xa1", b"1,5",
    # words
    b"True", b"nul", b"nulll", b"undefined", b"truefalse", b"fals", b"abc", b"'a'", b"`a`",
    # strings
    b'"', b'"a', b'a"', b'"\\"', b'"\\x41"', b'"\\u12"', b'"\\u12G4"', b'"\\ u0041"', b'"\\\'"', b'"\\0"', b'"\\',
    b'"\n"', b'"\t"', b'"\x00"', b'"\x1f"', b'"a""b"', b'"\\U0041"',
    # UTF-8: stray, overlong, cut, surrogates, past the end
    b'"\x80"', b'"\xbf"', b'"\xc0\xaf"', b'"\xc1\x81"', b'"\xe0\x80\xaf"', b'"\xf0\x80\x80\xaf"', b'"\xc3"',
    b'"\xe2\x82"', b'"\xf0\x9f\x98"', b'"\xed\xa0\x80"', b'"\xed\xb0\x80"', b'"\xf4\x90\x80\x80"', b'"\xf8\x88\x80\x80\x80"',
    b'"\xff"', b'"\xfe"',
    # half a pair
    b'"\\uD800"', b'"\\uDC00"', b'"\\uD800\\uD800"', b'"\\uD800x"', b'"\\uD83D\\u0041"', b'"\\uDE00\\uD83D"',
    b'"\\uD83D\\uDE0"', b'"\\uD83D\\n"',
    # arrays
    b"[", b"]", b"[1", b"[1,", b"[,1]", b"[1,]", b"[1,,2]", b"[1 2]", b"[1;2]", b"[:]", b"[1:2]", b"[}", b"[1}",
    b"[[]", b"[]]", b"[\"a\"", b"[1]x", b"[\x0b1]", b"[\x0c1]", b"[\xa01]", b"[1\x00]", b"(1)",
    # objects
    b"{", b"}", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b'{"a"}', b'{"a",}', b'{"a":}', b'{:1}', b'{,}', b'{"a":1,}',
    b'{"a" 1}', b'{"a":1 "b":2}', b'{"a":1:2}', b'{a:1}', b"{'a':1}", b"{1:1}", b"{null:1}", b"{[]:1}", b"{{}:1}",
    b'{"a":1]', b'{"a":[}', b'{"a"::1}', b'{"a":1,,"b":2}', b'{"a":1;"b":2}', b'{"a":1}}', b'{"a":/**/1}', b'{"a":1}//',
    b'{"a":1}#', b'{"\\x":1}', b'{"\xff":1}', b'{"\\uD800":1}',
    # nothing, and marks
    b"", b" ", b"\x00", b"\xef\xbb\xbf", b",", b":", b"*", b"\\u0031", b"<null>",
]  # fmt: skip

# Left open by the RFC. True: taken here.
OPEN = [
    (b"1e400", True), (b"-1e400", True), (b"1e-400", True), (b"1e99999999999", True), (b"0.1" + b"0" * 400, True),
    (b"9" * 400, True), (b'"\\uFFFE"', True), (b'"\\uDBFF\\uDFFF"', True), (b"[" * 10_000 + b"]" * 10_000, False),
    (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, False), (b'[{"a":' * 5_000 + b"1" + b"}]" * 5_000, False),
    (b"[" * 100_000, False), (b"\xef\xbb\xbf[]", False), (b'"\xed\xa0\xbd\xed\xb8\x80"', False),
]  # fmt: skip
