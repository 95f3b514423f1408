package jinja

// arg is the i-th argument or the one of that name; ok is false where it is missing.
func (c *Call) arg(i int, name string) (any, bool) {
	if i >= 0 && i < len(c.Pos) {
		return c.Pos[i], true
	}
	v, ok := c.Named[name]
	return v, ok
}

func (c *Call) text(i int, name, otherwise string) string {
	v, ok := c.arg(i, name)
	if !ok {
		return otherwise
	}
	s, ok := v.(string)
	if !ok {
		fail(c.Line, "argument %s is a %s, not a str", name, typeName(v))
	}
	return s
}

func (c *Call) int(i int, name string, otherwise int) int {
	v, ok := c.arg(i, name)
	if !ok || v == nil {
		return otherwise
	}
	_, n, isInt, _ := number(v)
	if !isInt {
		fail(c.Line, "argument %s is a %s, not an int", name, typeName(v))
	}
	return n
}

func (c *Call) flag(i int, name string, otherwise bool) bool {
	v, ok := c.arg(i, name)
	if !ok {
		return otherwise
	}
	return truthy(v)
}

// need is the i-th argument, which must be there.
func (c *Call) need(i int, name string) any {
	v, ok := c.arg(i, name)
	if !ok {
		fail(c.Line, "argument %s is missing", name)
	}
	return v
}

func (c *Call) needText(i int, name string) string {
	c.need(i, name)
	return c.text(i, name, "")
}
