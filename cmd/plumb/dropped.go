package main

import (
	"plumb/datasets"
	"plumb/internal/encode"
	"plumb/internal/model"
)

// What each trainer would drop of some records, by reason: the same encoding that it does itself.

func (s *rewardStage) dropped(b *model.Bundle, recs []datasets.Record) map[string]int {
	return droppedBy(recs, encoderOf(b, s.Config.MaxLength).RewardPair)
}

func (s *dpoStage) dropped(b *model.Bundle, recs []datasets.Record) map[string]int {
	return droppedBy(recs, encoderOf(b, s.Config.MaxLength).Pair)
}

func (s *ppoStage) dropped(b *model.Bundle, recs []datasets.Record) map[string]int {
	return droppedBy(recs, encoderOf(b, s.Config.MaxPromptLength).Prompt)
}

func (s *sftStage) dropped(b *model.Bundle, recs []datasets.Record) map[string]int {
	enc := encoderOf(b, s.Config.MaxLength)
	return droppedBy(recs, func(r *datasets.Record) (encode.Example, error) { return enc.Example(r, s.Config.CompletionOnlyLoss) })
}

func encoderOf(b *model.Bundle, maxLength int) *encode.Encoder {
	return &encode.Encoder{Tok: b.Tokenizer, MaxLength: min(maxLength, b.Model.MaxLen()), Vocab: b.Model.Config.Vocab}
}

func droppedBy[T any](recs []datasets.Record, f func(*datasets.Record) (T, error)) map[string]int {
	set, err := encode.All(recs, f)
	if err != nil && len(set.Dropped) == 0 {
		return map[string]int{err.Error(): len(recs)}
	}
	return set.Dropped
}
