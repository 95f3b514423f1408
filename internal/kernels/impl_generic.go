package kernels

var genericImpl = impl{
	level: Generic, mr: 8, mc: 128,
	tile: tileGeneric, tile16: tile16Generic, tileBF: tileBFGeneric,
	transpose16: transpose16Generic,
}
