package usagecli

import (
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// printParquet writes rows as a Parquet file: times as timestamps, the rest as
// strings, exact figures too, for they have up to 128 bits. A quantity that nobody
// knows is null.
func (c *cli) printParquet(rows []wire.Row, keys ...string) error {
	t := rowTable(rows, keys...)
	names := make([]string, len(t.columns))
	columns := parquet.Group{}
	for i, column := range t.columns {
		names[i] = snake(column.name)
		switch names[i] {
		case "start_time", "end_time":
			columns[names[i]] = parquet.Timestamp(parquet.Millisecond)
		case "quantity", "exact":
			columns[names[i]] = parquet.Optional(parquet.String())
		default:
			columns[names[i]] = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
		}
	}
	schema := parquet.NewSchema("usage", columns)
	out := parquet.NewWriter(c.Out, schema)
	var order []string // of the file's columns
	for _, path := range schema.Columns() {
		order = append(order, path[0])
	}
	for i := range rows {
		written := make(parquet.Row, len(order))
		for j, name := range order {
			var value parquet.Value
			level := 0
			switch cell := t.rows[i][slices.Index(names, name)]; name {
			case "start_time":
				value = parquet.Int64Value(rows[i].StartTime.UnixMilli())
			case "end_time":
				value = parquet.Int64Value(rows[i].EndTime.UnixMilli())
			case "quantity", "exact":
				if cell != "" {
					value, level = parquet.ByteArrayValue([]byte(cell)), 1
				}
			default:
				value = parquet.ByteArrayValue([]byte(cell))
			}
			written[j] = value.Level(0, level, j)
		}
		if _, err := out.WriteRows([]parquet.Row{written}); err != nil {
			return err
		}
	}
	return out.Close()
}
