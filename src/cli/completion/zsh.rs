//! The script for zsh (zshcompsys(1)). The script calls bash's function as bash does, with the
//! `compgen` of zsh's own bashcompinit. The script does not use bashcompinit's `complete`, which
//! appends a space to every word, even to `container:`, after which the user types a name.
//!
//! The user can source the script, or save it as `_mydocker` in a directory of `fpath`. zsh expands
//! an alias before it completes, unless the option `complete_aliases` is set. The script registers
//! the alias `docker` for shells that have set this option.

use super::bash;

const HEAD: &str = "\
#compdef mydocker
# zsh completion for mydocker; load it with: source <(mydocker completion zsh)
(( $+functions[compdef] )) || { autoload -U compinit && compinit -u }
autoload -U +X bashcompinit && bashcompinit
";

/// bash's function expects arrays that start at 0, and words that split at spaces. `typeset -h`
/// hides zsh's own array `words` from the function.
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

/// Returns the script that `completion zsh` prints.
pub fn script() -> String {
    format!("{HEAD}{}{TAIL}", bash::functions())
}
