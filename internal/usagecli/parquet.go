package usagecli

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// Quantities have quantityScale decimal places. decimalDigits is how many digits a
// DECIMAL has in all, in decimalBytes: as many as DuckDB, Spark and Arrow read.
const (
	quantityScale = 9
	decimalDigits = 38
	decimalBytes  = 16
)

// orderedGroup is a group whose columns have an order; parquet.Group sorts them by name.
type orderedGroup struct {
	parquet.Group
	names []string
}

// Fields are the columns, in order.
func (g orderedGroup) Fields() []parquet.Field {
	fields := g.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int {
		return slices.Index(g.names, a.Name()) - slices.Index(g.names, b.Name())
	})
	return fields
}

// printParquet writes rows as a Parquet file with the columns of csv, in its order:
// times are timestamps, quantity and exact are decimals, the rest are texts. A
// quantity that is unknown is null.
func (c *cli) printParquet(rows []wire.Row, keys ...string) error {
	if isTerminal(c.Out) {
		return misused("-o parquet: a terminal cannot show it: redirect the output to a file, > usage.parquet")
	}
	t := rowTable(rows, keys...)
	columns := orderedGroup{Group: parquet.Group{}}
	for _, column := range t.columns {
		name := snake(column.name)
		columns.names = append(columns.names, name)
		columns.Group[name] = parquetColumn(name)
	}
	out := parquet.NewWriter(c.Out, parquet.NewSchema("usage", columns))
	for i := range rows {
		written := make(parquet.Row, len(columns.names))
		for j, name := range columns.names {
			value, level, err := parquetValue(name, t.rows[i][j], &rows[i])
			if err != nil {
				return err
			}
			written[j] = value.Level(0, level, j)
		}
		if _, err := out.WriteRows([]parquet.Row{written}); err != nil {
			return err
		}
	}
	return out.Close()
}

func parquetColumn(name string) parquet.Node {
	switch name {
	case "start_time", "end_time":
		return parquet.Timestamp(parquet.Millisecond)
	case "quantity":
		return parquet.Optional(parquet.Decimal(quantityScale, decimalDigits, parquet.FixedLenByteArrayType(decimalBytes)))
	case "exact":
		return parquet.Optional(parquet.Decimal(0, decimalDigits, parquet.FixedLenByteArrayType(decimalBytes)))
	}
	return parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
}

// parquetValue is a cell's value, and its definition level: 1 where an optional one is there.
func parquetValue(name, cell string, row *wire.Row) (value parquet.Value, level int, err error) {
	switch name {
	case "start_time":
		return parquet.Int64Value(row.StartTime.UnixMilli()), 0, nil
	case "end_time":
		return parquet.Int64Value(row.EndTime.UnixMilli()), 0, nil
	case "quantity", "exact":
		if cell == "" {
			return parquet.Value{}, 0, nil
		}
		scale := 0
		if name == "quantity" {
			scale = quantityScale
		}
		text, err := decimal(cell, scale)
		return parquet.FixedLenByteArrayValue(text), 1, err
	}
	return parquet.ByteArrayValue([]byte(cell)), 0, nil
}

// decimal is a number with so many decimal places as Parquet has it: big-endian, in two's
// complement. It fails where the number has more places or digits than fit.
func decimal(text string, scale int) ([]byte, error) {
	number, ok := new(big.Rat).SetString(text)
	if !ok || strings.ContainsAny(text, "eE/") {
		return nil, fmt.Errorf("-o parquet: %q is no number", text)
	}
	number.Mul(number, new(big.Rat).SetInt(power10(scale)))
	if !number.IsInt() || new(big.Int).Abs(number.Num()).Cmp(power10(decimalDigits)) >= 0 {
		return nil, fmt.Errorf("-o parquet: %s does not fit DECIMAL(%d, %d): use csv", text, decimalDigits, scale)
	}
	unscaled := new(big.Int).Set(number.Num())
	if unscaled.Sign() < 0 {
		unscaled.Add(unscaled, new(big.Int).Lsh(big.NewInt(1), 8*decimalBytes))
	}
	return unscaled.FillBytes(make([]byte, decimalBytes)), nil
}

func power10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }
