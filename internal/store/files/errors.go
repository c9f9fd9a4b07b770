package files

import (
	"errors"

	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// gone says that a message is not there any more.
func gone(err error) bool { return errors.Is(err, engine.ErrNotFound) || vfs.NotExist(err) }
