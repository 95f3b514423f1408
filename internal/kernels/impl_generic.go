package kernels

var genericImpl = impl{
	level: Generic, rows: heights{8, 128}, ints16: heights{8, 128},
	tile: tileGeneric, tile16: tile16Generic, tileBF: tileBFGeneric, tileInt: tileIntGeneric,
	blocks: heights{8, 128}, tileBlocks: tileBlocksGeneric, quantRow: quantRowGeneric,
	transpose16: transpose16Generic,
}
