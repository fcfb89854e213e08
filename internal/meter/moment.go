package meter

import (
	"fmt"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// moment is the time that an expression gave, in whole seconds (the part of a
// second is dropped); zero when the object states none. Kubernetes writes an
// unset time as null, and Go as the year 1, which would bill two millennia:
// times up to 1970 are none.
func moment(value ref.Val) (usage.Boundary, error) {
	var stated time.Time
	switch value := value.(type) {
	case types.Null:
		return usage.Boundary{}, nil
	case types.Timestamp:
		stated = value.Time
	case types.String:
		if value == "" {
			return usage.Boundary{}, nil
		}
		parsed, err := time.Parse(time.RFC3339, string(value))
		if err != nil {
			return usage.Boundary{}, fmt.Errorf("%q is not a time; want RFC 3339, such as 2026-11-21T20:37:30Z", printable(string(value), 64))
		}
		stated = parsed
	default:
		return usage.Boundary{}, unexpected(value, wantTime)
	}
	if stated.Unix() <= 0 {
		return usage.Boundary{}, nil
	}
	return usage.Boundary{At: stated.Unix(), Evidence: usage.ObjectTime}, nil
}
