package meter

import (
	"maps"
	"reflect"
	"slices"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// nativeAdapter shows an unstructured object to CEL as it is, without a copy:
// a map or list is wrapped when an expression reaches it.
type nativeAdapter struct{}

// NativeToValue wraps one value.
func (a nativeAdapter) NativeToValue(value any) ref.Val {
	switch value := value.(type) {
	case map[string]any:
		return fields(value)
	case []any:
		return types.NewDynamicList(a, value)
	}
	return types.DefaultTypeAdapter.NativeToValue(value)
}

// fields is a map of an object, as CEL sees it. Its keys come in order: Go's
// own order is random, so that the first label that an expression finds would
// differ from one reading to the next, and split the usage each time.
type fields map[string]any

var _ traits.Mapper = fields{}

// Find gives the value of a key.
func (f fields) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	value, ok := f[string(name)]
	if !ok {
		return nil, false
	}
	return nativeAdapter{}.NativeToValue(value), true
}

// Get gives the value of a key, or CEL's error.
func (f fields) Get(key ref.Val) ref.Val {
	if value, ok := f.Find(key); ok {
		return value
	}
	return types.NewErr("no such key: %v", key)
}

// Contains tells whether a key is there.
func (f fields) Contains(key ref.Val) ref.Val {
	name, ok := key.(types.String)
	if !ok {
		return types.False
	}
	_, ok = f[string(name)]
	return types.Bool(ok)
}

// Iterator walks the keys in order.
func (f fields) Iterator() traits.Iterator {
	return types.NewStringList(types.DefaultTypeAdapter, slices.Sorted(maps.Keys(f))).Iterator()
}

// Size is the number of keys.
func (f fields) Size() ref.Val { return types.Int(len(f)) }

// IsZeroValue tells whether it is empty.
func (f fields) IsZeroValue() bool { return len(f) == 0 }

// Type is CEL's map.
func (f fields) Type() ref.Type { return types.MapType }

// Value is the native map.
func (f fields) Value() any { return map[string]any(f) }

// Equal compares with another map.
func (f fields) Equal(other ref.Val) ref.Val { return f.plain().Equal(other) }

// ConvertToType converts to a map, or to its type.
func (f fields) ConvertToType(t ref.Type) ref.Val {
	if t == types.MapType {
		return f
	}
	return f.plain().ConvertToType(t)
}

// ConvertToNative converts to a Go map.
func (f fields) ConvertToNative(t reflect.Type) (any, error) { return f.plain().ConvertToNative(t) }

// plain is the same map as cel-go's own, for what it does best.
func (f fields) plain() traits.Mapper { return types.NewStringInterfaceMap(nativeAdapter{}, f) }
