package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// ID is a UUID (version 8 of RFC 9562) that says the same wherever and whenever it
// is made.
func ID(of ...string) string {
	hash := sha256.New()
	for _, part := range of {
		fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	b := hash.Sum(nil)[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	text := hex.EncodeToString(b)
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// SegmentID is what the segment is known by, open or ended, on every replica.
func SegmentID(s *usage.Segment) string {
	key := s.Key()
	return ID("segment", key.ResourceUID, key.InstanceUID, key.Container, key.Dimension, strconv.FormatInt(key.Start, 10))
}
