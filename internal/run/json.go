package run

import (
	"encoding/json"
	"io"
)

// WriteJSON writes v, indented by two spaces, as WriteFile does: whole or not at all.
func WriteJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
}
