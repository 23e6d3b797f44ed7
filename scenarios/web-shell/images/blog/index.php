<?php
// The blog: a list of posts with their lengths, or one post.
$number = isset($_GET['post']) ? (int) $_GET['post'] : 0;
if ($number > 0) {
    $path = __DIR__ . "/posts/$number.txt";
    if (!is_file($path)) {
        http_response_code(404);
        exit('no such post');
    }
    echo '<pre>' . htmlspecialchars(file_get_contents($path)) . '</pre>';
} else {
    // A shell for a small thing, as blogs have them.
    echo '<pre>' . shell_exec('wc -w ' . __DIR__ . '/posts/*.txt') . '</pre>';
}
