package kernels

var genericImpl = impl{
	level: Generic, mr: 8, mc: 128,
	tile: tileGeneric, tile16: tile16Generic, tileBF: tileBFGeneric,
	transpose16: transpose16Generic, interleave: interleaveGeneric,
	toBF: toBFGeneric, fromBF: fromBFGeneric,
	add: addGeneric, axpy: axpyGeneric, scale: scaleGeneric, mul: mulGeneric,
	dot: dotGeneric, sum: sumGeneric, sumSquares: sumSquaresGeneric, max: maxGeneric,
	exp: expGeneric, expSum: expSumGeneric, sumExp: sumExpGeneric,
	siluMul: siluMulGeneric, siluMulBack: siluMulBackGeneric,
	gelu: geluGeneric, geluBack: geluBackGeneric, geluTanh: geluTanhGeneric, geluTanhBack: geluTanhBackGeneric,
	rope: ropeGeneric, adamw: adamwGeneric,
	norm: normGeneric, normDots: normDotsGeneric, normBack: normBackGeneric, normGain: normGainGeneric,
	sumSqDiff: sumSqDiffGeneric,
}
