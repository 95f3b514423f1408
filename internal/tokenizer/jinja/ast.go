package jinja

// Expressions.
type (
	expr     interface{}
	constant struct{ v any }
	variable struct {
		name string
		line int
	}
	listExpr struct {
		items []expr
		tuple bool
	}
	dictExpr struct{ keys, values []expr }
	unary    struct {
		op   string
		x    expr
		line int
	}
	binary struct {
		op   string
		x, y expr
		line int
	}
	compare struct {
		first expr
		ops   []string
		rest  []expr
		line  int
	}
	condExpr  struct{ test, yes, no expr }
	attribute struct {
		x    expr
		name string
		line int
	}
	index struct {
		x, i expr
		line int
	}
	slice struct {
		x, from, to, step expr
		line              int
	}
	arguments struct {
		pos   []expr
		names []string
		named []expr
	}
	call struct {
		f    expr
		args arguments
		line int
	}
	filterExpr struct {
		x    expr
		name string
		args arguments
		line int
	}
	testExpr struct {
		x    expr
		name string
		args arguments
		not  bool
		line int
	}
)
