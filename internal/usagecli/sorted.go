package usagecli

import (
	"cmp"
	"math/big"
	"slices"
	"strings"
)

// sorted is the table in the order of --sort-by: by numbers where there are numbers, and
// otherwise as it was.
func (c *cli) sorted(t *table) (*table, error) {
	if c.sortBy == "" {
		return t, nil
	}
	by := slices.IndexFunc(t.columns, func(column column) bool { return snake(column.name) == snake(c.sortBy) })
	if by < 0 {
		var names []string
		for _, column := range t.columns {
			names = append(names, snake(column.name))
		}
		return nil, misused("--sort-by=%s: there is no such column: want one of %s", c.sortBy, strings.Join(names, ", "))
	}
	out := &table{columns: t.columns, rows: slices.Clone(t.rows)}
	slices.SortStableFunc(out.rows, func(a, b []string) int {
		first, isNumber := number(a[by])
		second, isToo := number(b[by])
		if isNumber && isToo {
			return first.Cmp(second)
		}
		// What is no number comes first, as unknown does.
		return cmp.Or(cmp.Compare(digit(isNumber), digit(isToo)), cmp.Compare(a[by], b[by]))
	})
	return out, nil
}

func digit(is bool) int {
	if is {
		return 1
	}
	return 0
}

// number is a cell's, with or without the marks of how well it is known.
func number(cell string) (*big.Rat, bool) {
	cell = strings.TrimRight(strings.TrimLeft(cell, "~"), "?%")
	if len(cell) > 80 || strings.ContainsAny(cell, "eE/_xX") {
		return nil, false
	}
	return new(big.Rat).SetString(cell)
}
