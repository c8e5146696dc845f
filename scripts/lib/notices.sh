# shellcheck shell=bash
# What the licences of the libraries within the program ask to pass on with it. Sourced, after common.sh.

# notices : the name, version and licence of each, and then each text of a licence with those who use it.
notices() {
  local -A texts=() users=()
  local name version licence source file sum
  printf 'The program holds these libraries:\n\n'
  while IFS=$'\t' read -r name version licence source; do
    printf '%s %s: %s\n' "$name" "$version" "$licence"
    for file in "$source"/{LICENSE,LICENCE,COPYING,COPYRIGHT,NOTICE}*; do
      [ -f "$file" ] || continue
      sum=$(sha256sum <"$file")
      texts[$sum]=$file
      users[$sum]+=" $name"
    done
  done < <(libraries)
  while read -r sum; do
    printf '\n%s\n%s\n\n' "----------" "For${users[$sum]}:"
    cat "${texts[$sum]}"
  done < <(printf '%s\n' "${!texts[@]}" | sort)
}

# libraries : name, version, licence and folder of each, in lines of four fields with tabs between.
libraries() {
  # In the order of their names, each once, and lagwise itself left out.
  cargo tree --manifest-path "$ROOT/Cargo.toml" --locked --edges normal --prefix none --no-dedupe \
    --format '{p}'$'\t''{l}' | sed 's/ (\*)$//; s/ (proc-macro)//' | sort -u |
    while IFS=$'\t' read -r package licence; do
      # "name v1.2.3"; a path after that is that of lagwise.
      case $package in *' ('*) continue ;; esac
      local name=${package% v*} version=${package##* v} folder
      for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$name-$version"; do
        [ -d "$folder" ] || die "the source of $name $version is not in cargo's folder"
        printf '%s\t%s\t%s\t%s\n' "$name" "$version" "$licence" "$folder"
        break
      done
    done
}
