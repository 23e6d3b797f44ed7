<?php
// Vulnerable on purpose: any name is taken, so a file can be a program.
$file = $_FILES['file'] ?? null;
if ($file === null || $file['error'] !== UPLOAD_ERR_OK) {
    http_response_code(400);
    exit('file?');
}
copy($file['tmp_name'], __DIR__ . '/uploads/' . basename($file['name']));
echo 'thanks';
