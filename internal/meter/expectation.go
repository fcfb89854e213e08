package meter

import (
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	apiservercel "k8s.io/apiserver/pkg/cel"
)

// expectation is which types an expression may give.
type expectation struct {
	text     string // what would be right, for people
	optional bool   // null, none and an optional will do too
	kinds    []types.Kind
	quantity bool // a kubernetes.Quantity will do too
}

var (
	wantTruth = expectation{text: "a bool", kinds: []types.Kind{types.BoolKind}}
	wantTime  = expectation{
		text:     `a timestamp or an RFC 3339 string; "", null or none where there is none`,
		optional: true,
		kinds:    []types.Kind{types.TimestampKind, types.StringKind},
	}
	wantText = expectation{
		text:     "a string; null or none is the empty one",
		optional: true,
		kinds:    []types.Kind{types.StringKind},
	}
	wantList = expectation{
		text:     "a list; null or none is the empty one",
		optional: true,
		kinds:    []types.Kind{types.ListKind},
	}
	wantQuantity = expectation{
		text:     "an int, a uint, a double, a quantity or a quantity's text; null or none is 0",
		optional: true,
		kinds:    []types.Kind{types.IntKind, types.UintKind, types.DoubleKind, types.StringKind},
		quantity: true,
	}
)

// accepts tells whether a value of the static type t can be right. What is
// known only at run time (dyn) is checked there.
func (e expectation) accepts(t *cel.Type) bool {
	if t.Kind() == types.OpaqueKind && t.TypeName() == "optional_type" {
		return e.optional && e.accepts(t.Parameters()[0])
	}
	switch kind := t.Kind(); kind {
	case types.DynKind, types.AnyKind, types.TypeParamKind:
		return true
	case types.NullTypeKind:
		return e.optional
	default:
		return slices.Contains(e.kinds, kind) ||
			e.quantity && t.IsExactType(apiservercel.QuantityType)
	}
}
