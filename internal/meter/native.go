package meter

import (
	"maps"
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
		return sortedMap{Mapper: types.NewStringInterfaceMap(a, value), content: value}
	case []any:
		return types.NewDynamicList(a, value)
	}
	return types.DefaultTypeAdapter.NativeToValue(value)
}

// sortedMap is a map whose keys come in order. Go's own order is random: the
// first label that an expression finds would differ from one reading to the
// next, and split the usage each time.
type sortedMap struct {
	traits.Mapper
	content map[string]any
}

// Iterator walks the keys in order.
func (m sortedMap) Iterator() traits.Iterator {
	keys := slices.AppendSeq(make([]string, 0, len(m.content)), maps.Keys(m.content))
	slices.Sort(keys)
	return types.NewStringList(types.DefaultTypeAdapter, keys).Iterator()
}
