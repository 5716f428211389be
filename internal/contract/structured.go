package contract

// Structured reports whether every document that fits, null apart, is an object or
// an array, which JSON-RPC asks of parameters. A contract that only the library can
// check isn't known to be.
func (c *Contract) Structured() bool {
	r := c.rule
	if r.target != nil {
		r = r.target
	}
	types := r.types &^ typeNull
	return types != 0 && types&^(typeObject|typeArray) == 0
}
