package meter

import (
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// expression is one compiled expression of a meter.
type expression struct {
	path        string
	program     cel.Program
	readsMember bool
	shared      int // where its value is kept for the other members, when it does not read the member
}

// unexpected says that an expression gave something else than it should.
func unexpected(value ref.Val, want expectation) error {
	return fmt.Errorf("it gives %s; want %s", value.Type().TypeName(), want.text)
}

// held is what an optional holds; null when it holds nothing.
func held(value ref.Val) ref.Val {
	for {
		optional, ok := value.(*types.Optional)
		if !ok {
			return value
		}
		if !optional.HasValue() {
			return types.NullValue
		}
		value = optional.GetValue()
	}
}

// truth is the bool that an expression gave.
func truth(value ref.Val) (bool, error) {
	if value, ok := value.(types.Bool); ok {
		return bool(value), nil
	}
	return false, unexpected(value, wantTruth)
}

// words is the string that an expression gave, fit to be stored and shown.
func words(value ref.Val) (string, error) {
	text, err := rawText(value)
	return Tidy(text), err
}

// rawText is the string that an expression gave, as it is.
func rawText(value ref.Val) (string, error) {
	switch value := value.(type) {
	case types.String:
		return string(value), nil
	case types.Null:
		return "", nil
	}
	return "", unexpected(value, wantText)
}

// list is the list that an expression gave; nil for none.
func list(value ref.Val) (traits.Lister, error) {
	switch value := value.(type) {
	case traits.Lister:
		return value, nil
	case types.Null:
		return nil, nil
	}
	return nil, unexpected(value, wantList)
}
