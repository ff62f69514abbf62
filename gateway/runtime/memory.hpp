// Giving memory back. Called by whatever is used again and again.
#pragma once

namespace gatehouse::runtime {

/// Empties a string or vector and frees its memory, which assigning an empty one would keep.
template <class Container>
void free_memory(Container& container) noexcept {
  Container().swap(container);
}

}  // namespace gatehouse::runtime
