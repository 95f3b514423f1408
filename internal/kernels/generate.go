package kernels

//go:generate go -C _asm run . -set tile512 -out ../tile512_amd64.s -stubs ../tile512_amd64.go -table ../tile512_table_amd64.go -pkg kernels
//go:generate go -C _asm run . -set dot512 -out ../dot512_amd64.s -table ../dot512_table_amd64.go -pkg kernels
//go:generate go -C _asm run . -set tile256 -out ../tile256_amd64.s -stubs ../tile256_amd64.go -table ../tile256_table_amd64.go -pkg kernels
//go:generate go -C _asm run . -set tileint -out ../tileint_amd64.s -stubs ../tileint_amd64.go -table ../tileint_table_amd64.go -pkg kernels
//go:generate go -C _asm run . -set strip -out ../strip_amd64.s -stubs ../strip_amd64.go -pkg kernels
//go:generate go -C _asm run . -set wide -out ../wide_amd64.s -stubs ../wide_amd64.go -table ../wide_table_amd64.go -pkg kernels
//go:generate go -C _asm run . -set misc -out ../misc_amd64.s -stubs ../misc_amd64.go -pkg kernels
//go:generate go -C _asm run . -set elem -out ../elementwise_amd64.s -stubs ../elementwise_amd64.go -pkg kernels
//go:generate go -C _asm run . -set rows -out ../rows_amd64.s -stubs ../rows_amd64.go -pkg kernels
//go:generate go -C _asm run . -set quant -out ../quant_amd64.s -stubs ../quant_amd64.go -pkg kernels
//go:generate go -C _asm run . -set blocks -out ../blocks_amd64.s -stubs ../blocks_amd64.go -table ../blocks_table_amd64.go -pkg kernels
//go:generate go -C _asm run . -set amx -out ../amxtail_amd64.s -pkg kernels
//go:generate go -C _asm run ./neon -set tile -out ../tile128_arm64.s -stubs ../tile128_arm64.go -table ../tile128_table_arm64.go
//go:generate go -C _asm run ./neon -set misc -out ../misc_arm64.s -stubs ../misc_arm64.go
//go:generate go -C _asm run ./neon -set elem -out ../elementwise_arm64.s -stubs ../elementwise_arm64.go
//go:generate go -C _asm run ./neon -set rows -out ../rows_arm64.s -stubs ../rows_arm64.go
//go:generate go -C _asm run ./neon -set quant -out ../quant_arm64.s -stubs ../quant_arm64.go
//go:generate go -C _asm run . -set gather -out ../gather_amd64.s -stubs ../gather_amd64.go -pkg kernels
