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
	figure := number
	if t.columns[by].figures {
		if !alike(t.rows, by) {
			return nil, misused("--sort-by=%s: the lines are of several dimensions, which have no order: choose one with --dimension, or --sort-by another column", c.sortBy)
		}
		figure = func(cell string) (*big.Rat, bool) {
			quantity, _ := figureOf(cell)
			return number(quantity)
		}
	}
	out := &table{columns: t.columns, rows: slices.Clone(t.rows)}
	slices.SortStableFunc(out.rows, func(a, b []string) int {
		first, isNumber := figure(a[by])
		second, isToo := figure(b[by])
		if isNumber && isToo {
			return first.Cmp(second)
		}
		// What is no number comes first, as unknown does.
		return cmp.Or(cmp.Compare(digit(isNumber), digit(isToo)), cmp.Compare(a[by], b[by]))
	})
	return out, nil
}

// figureOf is the quantity of a cell such as "memory ~16 GiB-hour", and what it is of. Without
// a quantity, it is unknown.
func figureOf(cell string) (quantity, of string) {
	words := strings.Fields(cell)
	at := slices.IndexFunc(words, func(word string) bool {
		_, isNumber := number(word)
		return isNumber || word == "unknown"
	})
	if at < 0 {
		return "", cell
	}
	quantity = words[at]
	return quantity, strings.Join(slices.Delete(words, at, at+1), " ")
}

// alike tells whether all that have a quantity in a column are of one dimension.
func alike(rows [][]string, by int) bool {
	before := ""
	for _, row := range rows {
		quantity, of := figureOf(row[by])
		if _, isNumber := number(quantity); !isNumber {
			continue
		}
		if before != "" && of != before {
			return false
		}
		before = of
	}
	return true
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
