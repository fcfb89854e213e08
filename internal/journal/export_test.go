package journal

// SetRowsPerBlock makes batches of more rows several parts, and returns what undoes it.
func SetRowsPerBlock(n int) (restore func()) {
	before := rowsPerBlock
	rowsPerBlock = n
	return func() { rowsPerBlock = before }
}
