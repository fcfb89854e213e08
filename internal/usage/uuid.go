package usage

import "encoding/hex"

// UUID is the number that a text is in the form of a UUID; false where it is not just that.
func UUID(text string) (b [16]byte, is bool) {
	if len(text) != 36 {
		return b, false
	}
	at := 0
	for i := 0; i < len(text); i += 2 {
		if text[i] == '-' {
			i++
		}
		if i+1 >= len(text) || at == len(b) {
			return b, false
		}
		high, low := nibble(text[i]), nibble(text[i+1])
		if high > 15 || low > 15 {
			return b, false
		}
		b[at] = high<<4 | low
		at++
	}
	return b, at == len(b) && UUIDText(b) == text
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// UUIDText is the text of a number.
func UUIDText(b [16]byte) string {
	var text [36]byte
	hex.Encode(text[:8], b[:4])
	hex.Encode(text[9:13], b[4:6])
	hex.Encode(text[14:18], b[6:8])
	hex.Encode(text[19:23], b[8:10])
	hex.Encode(text[24:], b[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
