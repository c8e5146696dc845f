<?php
// Shared by the scripts beside this one. Each prints only what must be equal on every run
// against the same server, direct or through a proxy: no times, no connection ids. Each makes
// its own tables anew, then reads the tables of the fixture on a fresh connection: those are
// reads that a proxy may serve from a replica. What one connection wrote is not read on another,
// as a replica may not have it yet.

declare(strict_types=1);

error_reporting(E_ALL & ~E_DEPRECATED);
ini_set('display_errors', 'stderr');
set_error_handler(function (int $level, string $text, string $file, int $line): bool {
    if (!(error_reporting() & $level)) {
        return false;
    }
    throw new ErrorException($text, 0, $level, $file, $line);
});

function setting(string $name): string
{
    $value = getenv($name);
    if ($value === false) {
        fwrite(STDERR, "set $name\n");
        exit(2);
    }
    return $value;
}

/** A value as text that shows its type, and every byte of it. */
function render(mixed $value): string
{
    if (is_array($value)) {
        $parts = [];
        foreach ($value as $key => $entry) {
            $parts[] = (array_is_list($value) ? '' : "$key: ") . render($entry);
        }
        return '[' . implode(', ', $parts) . ']';
    }
    if (is_object($value)) {
        return render(get_object_vars($value));
    }
    if (is_string($value)) {
        if (strlen($value) > 200) {
            return 'string of ' . strlen($value) . ' bytes, md5 ' . md5($value);
        }
        return preg_match('//u', $value) && !preg_match('/[\x00-\x08\x0e-\x1f]/', $value)
            ? '"' . $value . '"'
            : 'x' . bin2hex($value);
    }
    return var_export($value, true);
}

function show(string $label, mixed $value): void
{
    echo $label, ' = ', render($value), "\n";
}

/** Runs something that must fail, and prints how. */
function fails(string $label, callable $body): void
{
    try {
        $body();
    } catch (PDOException | mysqli_sql_exception $error) {
        $state = $error instanceof PDOException ? $error->errorInfo[0] ?? '' : $error->getSqlState();
        show($label, [get_class($error), $state, $error->getMessage()]);
        return;
    }
    throw new LogicException("$label did not fail");
}
