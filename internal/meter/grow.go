package meter

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// maxGrown is the longest text, in bytes, that replacing and joining make: no object is
// larger. CEL counts what a text cost once it is there, and from a few texts of an object these
// two make one that no machine has memory for.
const maxGrown = 2 << 20

// growingOptions are CEL's own functions whose result may be much longer than all of their
// arguments, with that bound. What they do is the same otherwise.
func growingOptions() []cel.EnvOption {
	text, texts := cel.StringType, cel.ListType(cel.StringType)
	return []cel.EnvOption{
		cel.Function("replace",
			cel.MemberOverload("string_replace_string_string", []*cel.Type{text, text, text}, text, cel.FunctionBinding(func(args ...ref.Val) ref.Val {
				return replaced(args, -1)
			})),
			cel.MemberOverload("string_replace_string_string_int", []*cel.Type{text, text, text, cel.IntType}, text, cel.FunctionBinding(func(args ...ref.Val) ref.Val {
				return replaced(args, int64(args[3].(types.Int)))
			}))),
		cel.Function("join",
			cel.MemberOverload("list_join", []*cel.Type{texts}, text, cel.UnaryBinding(func(list ref.Val) ref.Val { return joined(list, "") })),
			cel.MemberOverload("list_join_string", []*cel.Type{texts, text}, text, cel.BinaryBinding(func(list, between ref.Val) ref.Val {
				return joined(list, string(between.(types.String)))
			}))),
	}
}

// replaced is the first argument with the second replaced by the third, at most so many times;
// below 0: each time.
func replaced(args []ref.Val, most int64) ref.Val {
	text, before, after := string(args[0].(types.String)), string(args[1].(types.String)), string(args[2].(types.String))
	times := int64(strings.Count(text, before))
	if before == "" {
		times = int64(utf8.RuneCountInString(text)) + 1
	}
	if most >= 0 {
		times = min(times, most)
	}
	if grown := int64(len(text)) + times*int64(len(after)-len(before)); grown > maxGrown {
		return tooLong("replace", grown)
	}
	return types.String(strings.Replace(text, before, after, int(times)))
}

// joined are the list's texts, one after the other, with the other text between them.
func joined(list ref.Val, between string) ref.Val {
	items := list.(traits.Lister)
	n := int64(items.Size().(types.Int))
	parts, grown := make([]string, 0, n), int64(len(between))*max(0, n-1)
	for at := items.Iterator(); at.HasNext() == types.True; {
		part, is := at.Next().(types.String)
		if !is {
			return types.MaybeNoSuchOverloadErr(part)
		}
		if grown += int64(len(part)); grown > maxGrown {
			return tooLong("join", grown)
		}
		parts = append(parts, string(part))
	}
	if grown > maxGrown {
		return tooLong("join", grown)
	}
	return types.String(strings.Join(parts, between))
}

func tooLong(function string, bytes int64) ref.Val {
	return failure(fmt.Errorf("%s() makes a text of %d bytes or more: at most %d are allowed", function, bytes, maxGrown))
}
