//! The script for zsh (zshcompsys(1)): bash's function, called as bash calls it, with `compgen` from
//! zsh's own bashcompinit. bashcompinit's `complete` is not used: it appends a space to every word, also
//! to `container:`, which a name must follow.
//!
//! The script can be sourced, or be the file `_mydocker` in a directory of `fpath`. zsh expands an
//! alias before it completes, unless `complete_aliases` is set: for that the alias is registered too.

use super::bash;

const HEAD: &str = "\
#compdef mydocker
# zsh completion for mydocker; load it with: source <(mydocker completion zsh)
(( $+functions[compdef] )) || { autoload -U compinit && compinit -u }
autoload -U +X bashcompinit && bashcompinit
";

/// bash's function expects arrays from 0 and words that split. zsh's own array `words` is hidden from it.
const TAIL: &str = "\
_mydocker_zsh() {
    local -a COMPREPLY
    local COMP_LINE=\"${(j: :)words[1,CURRENT-1]} $PREFIX\"
    local COMP_POINT=${#COMP_LINE}
    () {
        emulate -L sh
        setopt kshglob noshglob braceexpand
        typeset -h words
        _mydocker
    }
    COMPREPLY=(${COMPREPLY:#})
    if (( ! $#COMPREPLY )); then
        compset -P '--*='
        _default
        return
    fi
    compadd -S '' -- ${(M)COMPREPLY:#*[=:]}
    compadd -- ${COMPREPLY:#*[=:]}
}
compdef _mydocker_zsh mydocker
[[ ${aliases[docker]} == *mydocker* || ${commands[docker]:A} == */mydocker ]] &&
    compdef _mydocker_zsh docker
[[ $funcstack[1] == _mydocker ]] && _mydocker_zsh
true
";

/// The script.
pub fn script() -> String {
    format!("{HEAD}{}{TAIL}", bash::functions())
}
